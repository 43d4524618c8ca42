"""espeak-ng's other synthesiser, after Klatt: see `synth.engines.espeak`."""

from __future__ import annotations

from synth.engines.espeak import Espeak

ENGINE = Espeak("espeak-klatt", by_klatt=True)
