"""Encryption keys are rotated while everything runs: a new one in front, everything sealed again, the old one taken away."""

from __future__ import annotations

from cryptography.fernet import Fernet

from plugin.db import vault
from plugin.usecases.reseal_secrets import reseal
from tests.stories.office import Office
from tests.stories.test_sending import number_of, sendable


def test_an_old_key_can_go_once_everything_lies_under_the_new_one(office: Office) -> None:
    alice = office.ready()
    new = Fernet.generate_key().decode()
    vault.open((new, *office.config.encryption_keys))

    assert reseal(office.services) >= 4
    vault.open((new,))

    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    assert office.sandbox.xero.invoice(number_of(office, crm_id)) is not None
