"""LoRa (the radio) at the physical layer: coding, modem, channel, links and their theory."""

from lora_phy import theory as theory
from lora_phy.channel import ChannelParams as ChannelParams
from lora_phy.channel import Interferer as Interferer
from lora_phy.channel import apply_channel as apply_channel
from lora_phy.coding.chain import Decoded as Decoded
from lora_phy.coding.chain import FrameStatus as FrameStatus
from lora_phy.coding.chain import decode_symbols as decode_symbols
from lora_phy.coding.chain import encode_payload as encode_payload
from lora_phy.coding.header import Header as Header
from lora_phy.frames.airtime import airtime_s as airtime_s
from lora_phy.frames.transceiver import transmit as transmit
from lora_phy.modem.demodulation import demodulate as demodulate
from lora_phy.modem.modulation import modulate as modulate
from lora_phy.monte_carlo.collect import LinkResult as LinkResult
from lora_phy.monte_carlo.collect import collect as collect
from lora_phy.monte_carlo.counts import LinkCounts as LinkCounts
from lora_phy.monte_carlo.counts import SymbolCounts as SymbolCounts
from lora_phy.monte_carlo.counts import WeightedCounts as WeightedCounts
from lora_phy.monte_carlo.engines import symbol_errors as symbol_errors
from lora_phy.monte_carlo.frame_blocks import replay_frame as replay_frame
from lora_phy.monte_carlo.points import LinkPoint as LinkPoint
from lora_phy.params import LoRaParams as LoRaParams
from lora_phy.receiver.frame_reception import RxFrame as RxFrame
from lora_phy.receiver.stream import Receiver as Receiver
from lora_phy.receiver.stream import receive as receive
