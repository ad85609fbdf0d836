"""The emotion of new recordings, by runs that were trained before.

`load` makes a run directory, or an export of one, ready, from a folder or from the Hugging Face hub; its `predict` answers for
one recording (a path, bytes, or samples with their rate), `predict_many` for many, `rate` and `rate_many` of a run that was
trained on ratings; `export_run` makes a folder for another machine, and `push_to_hub` puts it onto the hub. Features and
logits come from the code that made those of training: `mer.extract`, `mer.heads`, `mer.finetune`.
"""

from mer.predict.answer import Failure as Failure
from mer.predict.answer import Prediction as Prediction
from mer.predict.answer import Rating as Rating
from mer.predict.errors import PredictError as PredictError
from mer.predict.export import Exported as Exported
from mer.predict.export import export_run as export_run
from mer.predict.given_audio import Audio as Audio
from mer.predict.given_audio import Given as Given
from mer.predict.given_audio import recording as recording
from mer.predict.hub_upload import Pushed as Pushed
from mer.predict.hub_upload import push_to_hub as push_to_hub
from mer.predict.loading import from_pretrained as from_pretrained
from mer.predict.loading import load as load
from mer.predict.on_the_fly import Aligner as Aligner
from mer.predict.on_the_fly import live_aligner as live_aligner
from mer.predict.on_the_fly import pocketsphinx_aligner as pocketsphinx_aligner
from mer.predict.predictor import Predictor as Predictor
from mer.predict.recordings import Found as Found
from mer.predict.recordings import find_recordings as find_recordings
from mer.predict.recordings import read_recordings as read_recordings
from mer.predict.transcription import Heard as Heard
from mer.predict.transcription import transcribe as transcribe
from mer.recognise import open_transcriber as open_transcriber
