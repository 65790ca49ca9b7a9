//! Tokens: no token tells anything of another.

use std::collections::HashSet;

use super::*;
use crate::wire::Close;

/// The tokens of `count` channels, made one after the other.
fn tokens(settings: &Settings, count: usize) -> Vec<u64> {
    let mut bench = Bench::new();
    let now = bench.now;
    bench.session().open(now, settings);
    let token = |_| {
        let id = bench.connect(Kind::Stream);
        bench.pass(2_000);
        let request = bench.exchange(Lane::Send, |answer| answer);
        bench.session().release(now, id);
        request.connect().expect("a CONNECT_REQ").1.token
    };
    (0..count).map(token).collect()
}

/// The output of SplitMix64 that follows this output.
fn split_mix_after(output: u64) -> u64 {
    let unshift =
        |z: u64, by: u32| z ^ z >> by ^ z >> (2 * by) ^ z.checked_shr(3 * by).unwrap_or(0);
    // Inverses of the two factors, by Newton's iteration.
    let inverse = |factor: u64| {
        (0..6).fold(factor, |x, _| x.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(x))))
    };
    let (first, second) = (0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb_u64);
    let z = unshift(output, 31).wrapping_mul(inverse(second));
    let z = unshift(z, 27).wrapping_mul(inverse(first));
    let state = unshift(z, 30);
    let mix = |state: u64| {
        let z = (state ^ state >> 30).wrapping_mul(first);
        let z = (z ^ z >> 27).wrapping_mul(second);
        z ^ z >> 31
    };
    assert_eq!(mix(state), output, "the inverse is one");
    mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn next_token_does_not_follow_from_the_last() {
    for seed in 0..20 {
        let tokens = tokens(&Settings::new([7; 16], seed), 6);
        for pair in tokens.windows(2) {
            assert!(!tokens.contains(&split_mix_after(pair[0])), "seed {seed}");
            assert_ne!(pair[1], pair[0].wrapping_add(1), "seed {seed}");
        }
    }
}

#[test]
fn tokens_of_a_session_are_distinct() {
    let settings = Settings::new([7; 16], u64::MAX - 20);
    let tokens = tokens(&settings, 300);
    let distinct: HashSet<_> = tokens.iter().collect();
    assert_eq!(distinct.len(), tokens.len());
    // About half of all bits are set.
    let ones: u32 = tokens.iter().map(|token| token.count_ones()).sum();
    assert!((300 * 30..300 * 34).contains(&ones), "{ones}");
}

#[test]
fn tokens_differ_with_every_bit_of_the_secret() {
    let first = |secret| tokens(&Settings::new(secret, 5), 1)[0];
    let mut all = HashSet::from([first([7; 16])]);
    for bit in 0..128 {
        let mut secret = [7; 16];
        secret[bit / 8] ^= 1 << (bit % 8);
        assert!(all.insert(first(secret)), "bit {bit}");
    }
}

#[test]
fn owner_tells_neither_secret_nor_seed_nor_tokens() {
    let settings = Settings::new([7; 16], 5);
    assert_eq!(settings.owner, Settings::new([7; 16], 5).owner);
    let halves = [&settings.owner[..8], &settings.owner[8..]];
    let tokens = tokens(&settings, 50);
    for half in halves {
        let half = u64::from_be_bytes(half.try_into().unwrap());
        for word in [half, half.swap_bytes()] {
            assert!(!tokens.contains(&word));
            assert!(![0, 5, u64::from_be_bytes([7; 8])].contains(&word));
        }
    }
}

#[test]
fn close_req_while_connecting_draws_another_token() {
    let mut bench = Bench::reached();
    bench.connect(Kind::Stream);
    let request = bench.begin(Lane::Send).unwrap();
    let (_, first) = request.connect().unwrap();
    let close = Message::CloseReq(Close { status: Status::Aborted, offset: 0 });
    bench.answer(Lane::Send, &Answer::to(&request.exchange).from(PEER, first).message(&close).ok());
    bench.pass(PAUSE);
    let (_, second) = bench.exchange(Lane::Send, |answer| answer).connect().unwrap();
    assert_eq!(second.id, first.id);
    assert_ne!(second.token, first.token);
}

#[test]
fn a_million_guesses_of_a_channels_token_reach_nobody() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let mut guess = local.token;
    for _ in 0..1_000 {
        bench.exchange(Lane::Park, |answer| {
            (0..1_000).fold(answer, |answer, _| {
                guess = guess.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let channel = ChannelRef { token: guess, ..local };
                answer.from(PEER, channel).stream(0, b"x")
            })
        });
        bench.pass(PAUSE);
        if let Some(request) = bench.begin(Lane::Send) {
            bench.answer(Lane::Send, &Answer::to(&request.exchange).ok());
        }
    }
    assert_eq!(bench.read(id), b"");
    assert_eq!(bench.session().connected(id), Ok(true));
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(0, b"right"));
    assert_eq!(bench.read(id), b"right");
}
