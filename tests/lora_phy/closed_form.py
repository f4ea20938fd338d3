"""Chirps and frames in continuous time, as the conformance kit defines them."""

from lora_phy.conformance.definition import continuous_phase as continuous_phase
from lora_phy.conformance.definition import frame_chirps as frame_chirps
from lora_phy.conformance.definition import phase_at as phase_at
