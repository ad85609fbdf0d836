"""From espeak-ng's American English phonemes to the phone symbols of the CMU Sphinx aligners."""

SPHINX: dict[str, tuple[str, ...]] = {
    **{"0": ("AA",), "A:": ("AA",), "a:": ("AA",), "a": ("AE",), "aa": ("AE",), "V": ("AH",)},
    **{"O": ("AO",), "O2": ("AO",), "O:": ("AO",), "@": ("AX",), "@2": ("AX",), "@-": ("AX",), "a#": ("AX",), "a#:": ("AX",)},
    **{"3": ("AXR",), "3:": ("ER",), "E": ("EH",), "I": ("IH",), "I#": ("IX",), "I2": ("IX",)},
    **{"i": ("IY",), "i:": ("IY",), "i::": ("IY",), "U": ("UH",), "u": ("UW",), "u:": ("UW",), "o": ("OW",)},
    **{"aU": ("AW",), "aI": ("AY",), "eI": ("EY",), "oU": ("OW",), "OI": ("OY",), "aI@": ("AY", "AX")},
    **{"A@": ("AA", "R"), "O@": ("AO", "R"), "o@": ("AO", "R"), "e@": ("EH", "R"), "U@": ("UH", "R")},
    **{"i@3": ("IY", "R"), "i@": ("IY", "AX"), "aI3": ("AY", "AXR"), "@L": ("AX", "L"), "n-": ("AX", "N")},
    **{"A~": ("AA", "N"), "O~": ("AO", "N")},  # of French words
    **{"p": ("P",), "b": ("B",), "t": ("T",), "t2": ("T",), "t#": ("DX",), "?": ("T",), "d": ("D",), "k": ("K",), "g": ("G",)},
    **{"f": ("F",), "v": ("V",), "T": ("TH",), "D": ("DH",), "s": ("S",), "z": ("Z",), "S": ("SH",), "Z": ("ZH",)},
    **{"tS": ("CH",), "dZ": ("JH",), "h": ("HH",), "x": ("K",), "m": ("M",), "n": ("N",), "N": ("NG",)},
    **{"l": ("L",), "l#": ("L",), "r": ("R",), "r-": ("R",), "j": ("Y",), "w": ("W",)},
    ";": (),
}
"""espeak-ng mnemonic -> Sphinx phones, which share its time equally; without any, the phone before gets it."""
