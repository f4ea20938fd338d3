"""LoRa (the radio) at the physical layer: coding, modem, channel, links and their theory."""

from lora_phy.params import LoRaParams as LoRaParams
