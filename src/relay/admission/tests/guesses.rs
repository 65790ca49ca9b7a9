use super::jwts::{Key, claims};
use super::*;

const GUESSES: u32 = 1_000_000;

#[test]
fn a_million_guesses_of_a_token_fail_and_are_counted() {
    let token = NewToken::new("cameras", &[7; 32]);
    let admission = admission(token.policy());
    for n in 0..GUESSES {
        assert_eq!(admit(&admission, &format!("byway_{n:043}")).unwrap_err(), Denial::BadToken);
    }
    let stats = admission.stats();
    assert_eq!((stats.refused, stats.verified), (u64::from(GUESSES), 0));
    admit(&admission, token.token()).unwrap();
}

#[test]
fn a_million_forged_signatures_cost_few_verifications_and_keep_no_other_address_out() {
    let key = Key::ed(1);
    let admission = admission(&key.issuer(""));
    let good = key.token(&claims("good", 3_600, ""));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let begun = std::time::Instant::now();
    let mut refused = 0;
    for n in 0..GUESSES {
        let forged = format!("{signed}.{n:08}{}", &signature[8..]);
        refused += u64::from(admit(&admission, &forged).unwrap_err() == Denial::BadToken);
    }
    let most = 1_000 + 500 * (begun.elapsed().as_secs() + 1);
    let stats = admission.stats();
    assert!((1_000..=most).contains(&stats.verified), "{} of at most {most}", stats.verified);
    assert_eq!((refused, refused + stats.slowed), (stats.verified, u64::from(GUESSES)));
    // A good token that is new waits with the forged ones of its address.
    let kept_out = (0..GUESSES).find_map(|n| {
        let forged = format!("{signed}.{n:08}{}", &signature[8..]);
        let new = key.token(&claims(&format!("good-{n}"), 3_600, ""));
        admit(&admission, &forged).unwrap_err();
        admit(&admission, &new).is_err_and(|denial| denial == Denial::TooMany).then_some(new)
    });
    let good = kept_out.expect("all of a million were let in");
    // From elsewhere it is let in; then from there, too, as its signature is known.
    let elsewhere = Origin::Address(Ipv4Addr::new(192, 0, 2, 2).into());
    assert!(admission.admit(&headers(&good), &elsewhere).is_ok());
    admit(&admission, &good).unwrap();
}

#[test]
fn addresses_that_guess_are_remembered_in_bounds() {
    let mut guesses = guesses::Guesses::default();
    let now = Instant::now();
    for n in 0..100_000_u32 {
        guesses.note_wrong(&Origin::Address(Ipv4Addr::from_bits(n | 0x0a00_0000).into()), now);
    }
    assert_eq!(guesses.len(), 4_096);
}
