"""Small encoders of the real architectures with random weights: what the demo and the tests load instead of a hub's."""

from mer.demo.small_encoders import SmallEncoderError as SmallEncoderError
from mer.demo.small_encoders import ensure_small_encoders as ensure_small_encoders
from mer.demo.small_encoders import write_small_speech_encoder as write_small_speech_encoder
from mer.demo.small_encoders import write_small_text_encoder as write_small_text_encoder
