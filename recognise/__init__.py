"""Speech recognisers of Hugging Face: which words are said in a recording, and when each of them is."""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.recognise.ctc_aligner import Ctc as Ctc
    from mer.recognise.ctc_aligner import CtcAligner as CtcAligner
    from mer.recognise.ctc_model import CtcModel as CtcModel
    from mer.recognise.transcriber import Transcriber as Transcriber
    from mer.recognise.transcriber import open_transcriber as open_transcriber
else:
    __getattr__ = lazy(__name__)
