"""What has come of a certificate that was renewed meanwhile."""


def test_a_renewed_certificate_is_shown_to_newcomers_and_a_pair_that_does_not_fit_is_not(renewal):
    seen = renewal.result()
    assert seen.shows_old_one
    assert len(seen.warnings) == 1 and "Not showing the certificate that was changed" in seen.warnings[0]
    assert seen.old_one_lives, "who has come before stays"
    assert seen.seconds < 11
