"""The fusion heads, each a file: from averaged units of every granularity to logits.

`build_head` makes the one that a `HeadConfig` names; `mer.heads.kinds.HEADS` has their entries, `own_head` those of users.
"""
