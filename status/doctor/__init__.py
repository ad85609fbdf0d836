"""What is missing before a long run: machine, packages, encoders, corpus, cache."""

from mer.status.doctor.corpus_state import cache_checks as cache_checks
from mer.status.doctor.corpus_state import recurring_sentences as recurring_sentences
from mer.status.doctor.corpus_state import survey as survey
from mer.status.doctor.machine import encoder_check as encoder_check
from mer.status.doctor.machine import machine_checks as machine_checks
from mer.status.doctor.sound import sound_checks as sound_checks
