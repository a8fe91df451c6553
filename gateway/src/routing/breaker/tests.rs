//! When a breaker opens, and what closes it.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn fail(breaker: &mut Breaker, now: Duration) {
    let pass = breaker.pass(now).expect("it passes");
    breaker.failed(&pass, now);
}

fn succeed(breaker: &mut Breaker, now: Duration) {
    let pass = breaker.pass(now).expect("it passes");
    breaker.succeeded(&pass, now);
}

fn opened(now: Duration) -> Breaker {
    let mut breaker = Breaker::new(Settings::default());
    (0..5).for_each(|_| fail(&mut breaker, now));
    assert_eq!(breaker.state(now), BreakerState::Open);
    breaker
}

#[test]
fn it_opens_on_enough_failures_that_are_a_large_enough_share() {
    let mut breaker = Breaker::new(Settings::default());
    (0..16).for_each(|_| succeed(&mut breaker, SECOND));
    (0..5).for_each(|_| fail(&mut breaker, SECOND));
    assert_eq!(breaker.state(SECOND), BreakerState::Closed, "5 of 21");
    fail(&mut breaker, SECOND);
    assert_eq!(breaker.state(SECOND), BreakerState::Open, "6 of 22");
}

#[test]
fn failures_are_forgotten_with_the_window() {
    let mut breaker = Breaker::new(Settings::default());
    (0..4).for_each(|_| fail(&mut breaker, SECOND));
    (0..4).for_each(|_| fail(&mut breaker, SECOND * 12));
    assert_eq!(breaker.state(SECOND * 12), BreakerState::Closed);
    fail(&mut breaker, SECOND * 21);
    assert_eq!(breaker.state(SECOND * 21), BreakerState::Open, "the last 5 are within 10 s");
}

#[test]
fn trials_pass_one_by_one_and_three_good_ones_close_it() {
    let mut breaker = opened(SECOND);
    assert!(breaker.pass(SECOND * 2).is_none());
    for _ in 0..3 {
        assert_eq!(breaker.state(SECOND * 3), BreakerState::HalfOpen);
        let trial = breaker.pass(SECOND * 3).expect("a trial");
        assert!(breaker.pass(SECOND * 3).is_none(), "no second one beside it");
        breaker.succeeded(&trial, SECOND * 3);
    }
    assert_eq!(breaker.state(SECOND * 3), BreakerState::Closed);
}

#[test]
fn answers_that_break_off_weigh_double() {
    let mut breaker = Breaker::new(Settings::default());
    for _ in 0..3 {
        assert_eq!(breaker.state(SECOND), BreakerState::Closed);
        let pass = breaker.pass(SECOND).expect("it passes");
        breaker.succeeded(&pass, SECOND);
        breaker.broke(&pass, SECOND);
    }
    assert_eq!(breaker.state(SECOND), BreakerState::Open);
}

#[test]
fn a_trial_that_breaks_off_after_it_began_well_is_a_bad_one() {
    let mut breaker = opened(Duration::ZERO);
    let trial = breaker.pass(SECOND * 2).expect("a trial");
    breaker.succeeded(&trial, SECOND * 2);
    breaker.broke(&trial, SECOND * 3);
    assert_eq!(breaker.state(SECOND * 6), BreakerState::Open, "for 4 s");
    assert_eq!(breaker.state(SECOND * 7), BreakerState::HalfOpen);
}

#[test]
fn each_failed_trial_doubles_the_wait_up_to_the_longest() {
    let mut breaker = opened(Duration::ZERO);
    let mut now = Duration::ZERO;
    for wait in [2, 4, 8, 16, 30, 30] {
        now += SECOND * wait;
        assert!(breaker.pass(now.saturating_sub(Duration::from_millis(1))).is_none(), "{wait}");
        fail(&mut breaker, now);
    }
}

#[test]
fn a_trial_without_an_outcome_makes_room_for_another() {
    let mut breaker = opened(Duration::ZERO);
    let trial = breaker.pass(SECOND * 2).expect("a trial");
    breaker.abandoned(&trial, SECOND * 2);
    (0..3).for_each(|_| succeed(&mut breaker, SECOND * 2));
    assert_eq!(breaker.state(SECOND * 2), BreakerState::Closed);
}

#[test]
fn outcomes_of_before_say_nothing_of_now() {
    let mut breaker = Breaker::new(Settings::default());
    let early: Vec<Pass> = (0..9).filter_map(|_| breaker.pass(Duration::ZERO)).collect();
    (0..5).for_each(|_| fail(&mut breaker, Duration::ZERO));
    for pass in &early {
        breaker.succeeded(pass, SECOND);
    }
    assert_eq!(breaker.state(SECOND), BreakerState::Open);
    (0..3).for_each(|_| succeed(&mut breaker, SECOND * 2));
    for pass in &early {
        breaker.failed(pass, SECOND * 2);
    }
    assert_eq!(breaker.state(SECOND * 2), BreakerState::Closed);
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Pass,
    Succeed(usize),
    Fail(usize),
    Abandon(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u64..4000).prop_map(Step::Wait),
        Just(Step::Pass),
        Just(Step::Pass),
        (0_usize..8).prop_map(Step::Succeed),
        (0_usize..8).prop_map(Step::Fail),
        (0_usize..8).prop_map(Step::Abandon),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn whatever_happens_one_trial_at_most_is_out_and_time_and_good_trials_close_it(steps in steps()) {
        let mut breaker = Breaker::new(Settings::default());
        let (mut now, mut out) = (Duration::ZERO, Vec::<Pass>::new());
        for step in steps {
            let take = |out: &mut Vec<Pass>, index: usize| {
                (!out.is_empty()).then(|| out.swap_remove(index % out.len()))
            };
            match step {
                Step::Wait(ms) => now += Duration::from_millis(ms),
                Step::Pass => {
                    let would = breaker.would_pass(now);
                    let pass = breaker.pass(now);
                    prop_assert_eq!(would, pass.is_some());
                    out.extend(pass);
                }
                Step::Succeed(index) => if let Some(pass) = take(&mut out, index) {
                    breaker.succeeded(&pass, now);
                },
                Step::Fail(index) => if let Some(pass) = take(&mut out, index) {
                    breaker.failed(&pass, now);
                },
                Step::Abandon(index) => if let Some(pass) = take(&mut out, index) {
                    breaker.abandoned(&pass, now);
                },
            }
            let trials = out.iter().filter(|pass| pass.trial && pass.era == breaker.era).count();
            prop_assert!(trials <= 1);
            prop_assert_eq!(breaker.state(now) == BreakerState::Open, !breaker.would_pass(now) && trials == 0);
        }
        for pass in &out {
            breaker.abandoned(pass, now);
        }
        now += Settings::default().longest;
        for _ in 0..3 {
            let pass = breaker.pass(now).expect("time lets one through");
            breaker.succeeded(&pass, now);
        }
        prop_assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    #[test]
    fn without_failures_everything_passes(gaps in prop::collection::vec(0_u64..3000, 1..200)) {
        let mut breaker = Breaker::new(Settings::default());
        let mut now = Duration::ZERO;
        for gap in gaps {
            now += Duration::from_millis(gap);
            succeed(&mut breaker, now);
        }
    }
}
