"""From a head's config to a finished run directory: plan, train in stacks, test, record.

```text
train_head -> plan_head          who is trained, validated and tested in each fold; what is finished already
           -> RunQueue           statistics of each fold's training part, stacks as large as memory allows
           -> StackTrainer       one epoch of every run of a stack:
                StepPlans          each run's utterances in its own order, cut into batches; what all runs read at once = a Step
                _steps             one Step after the other; the next one is prefetched
                stacked_logits     FeatureSource.reads -> layer average -> head, all runs at once
                _train_epoch       loss, gradients, Adam: run by run, or all at once on a device (DeviceStack)
                _evaluate          validation logits; early stopping keeps the best weights
           -> RunDirectory       each run as soon as it is tested, then the result
```
"""
