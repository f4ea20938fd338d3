"""Conformance kit: laws that every LoRa modem keeps, for a modem of one's own.

    pip install "chirpbridge[conformance]"
    pytest --pyargs lora_phy.conformance --modem my_package.my_modem

The module after ``--modem`` has any of `encode_payload`, `decode_symbols`, `modulate`, `demodulate`, `transmit` and
`receive`, with the signatures and meanings of `lora_phy`'s own; laws about what it lacks are skipped. A law that fails
names what was expected and shows the smallest input that breaks it.

    definition   chirps and frames in continuous time: what IQ is compared with
    strategies   parameters, payloads and channels that laws are tried on
    vectors      symbols of gr-lora_sdr and of real chips
    coding_laws, modem_laws, frame_laws, receiver_laws   the laws, as functions of an adapter
    laws         all of them, and how one is run
    mutants      broken modems: each law fails for at least one
"""
