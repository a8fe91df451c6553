//! Slows those who guess credentials: failed logins by address.
//!
//! Only failures count, and a credential that was good here before is never asked to wait: so nobody behind the
//! address of a guesser, a proxy's or a household's, is kept out by him once known. IPv6 addresses count by /64,
//! since that is what one host is given. Memory is bounded: where [`MOST_ADDRESSES`] fail at once, those seen first
//! are remembered and newcomers pass: with that many addresses a guesser is not stopped by address anyway, and to
//! refuse newcomers would let a guesser lock everybody out.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::{Mutex, RwLock};

/// Addresses that are remembered, about 150 bytes each.
pub const MOST_ADDRESSES: usize = 100_000;

/// How often a failure may tidy up where the memory is full: that walks over all of it.
const TIDY_EVERY: Duration = Duration::from_secs(1);

type Failures<C> = RateLimiter<IpAddr, HashMapStateStore<IpAddr>, C, StateInformationMiddleware>;

/// Failed logins by address; see the [module](self).
pub struct Throttle<C: Clock = MonotonicClock> {
    clock: C,
    quota: Quota,
    failures: Failures<C>,
    /// Every address that `failures` holds: `governor` tells neither whether it knows one, nor, without counting one
    /// failure more, whether one may try.
    known: RwLock<HashMap<IpAddr, Known<C::Instant>>>,
    tidied: Mutex<C::Instant>,
}

/// An address that failed.
struct Known<I> {
    /// It may not try before.
    barred_until: I,
    /// By then all its failures are forgiven.
    fresh_at: I,
}

impl Throttle {
    /// Lets each address fail so many times a minute, all at once if it likes.
    pub fn per_minute(failures: NonZeroU32) -> Self {
        Self::with_clock(failures, MonotonicClock)
    }
}

impl<C: Clock> Throttle<C> {
    fn with_clock(failures: NonZeroU32, clock: C) -> Self
    where
        C: Clone,
    {
        let quota = Quota::per_minute(failures);
        let failures = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        let tidied = Mutex::new(clock.now());
        Self { clock, quota, failures, known: RwLock::default(), tidied }
    }

    /// Whether an address may try to log in, or after which time it may. Counts nothing.
    pub fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let barred_until = self.known.read().get(&network(address)).map(|known| known.barred_until);
        let wait = barred_until.map_or(Nanos::new(0), |until| until.duration_since(self.clock.now()));
        if wait == Nanos::new(0) { Ok(()) } else { Err(wait.into()) }
    }

    /// Counts a login of an address that has failed.
    pub fn failed(&self, address: IpAddr) {
        let network = network(address);
        if !self.known.read().contains_key(&network) && !self.has_room() {
            return;
        }
        let mut known = self.known.write();
        let wait = match self.failures.check_key(&network) {
            Ok(left) if left.remaining_burst_capacity() > 0 => Duration::ZERO,
            Ok(_) => self.quota.replenish_interval(),
            Err(until) => until.wait_time_from(self.clock.now()),
        };
        let now = self.clock.now();
        let forgiven_in = self.quota.burst_size_replenished_in() + self.quota.replenish_interval();
        known.insert(network, Known { barred_until: now + wait.into(), fresh_at: now + forgiven_in.into() });
    }

    /// Forgets what is over. To be called now and then, for example each minute; not on the runtime's threads where
    /// many addresses fail.
    pub fn tidy(&self) {
        let mut known = self.known.write();
        let now = self.clock.now();
        known.retain(|_, known| known.fresh_at > now);
        known.shrink_to_fit();
        self.failures.retain_recent();
        self.failures.shrink_to_fit();
    }

    /// Whether there is room for one more address, after tidying if that was not done just now.
    fn has_room(&self) -> bool {
        if self.known.read().len() < MOST_ADDRESSES {
            return true;
        }
        if !self.tidying_is_due() {
            return false;
        }
        self.tidy();
        self.known.read().len() < MOST_ADDRESSES
    }

    fn tidying_is_due(&self) -> bool {
        let mut tidied = self.tidied.lock();
        let now = self.clock.now();
        let due = now.duration_since(*tidied) >= TIDY_EVERY.into();
        if due {
            *tidied = now;
        }
        due
    }
}

impl<C: Clock> fmt::Debug for Throttle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("addresses", &self.known.read().len()).finish_non_exhaustive()
    }
}

/// What counts as one address. A mapped IPv4 address is that address: all of them share one /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn throttle() -> (Throttle<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Throttle::with_clock(NonZeroU32::new(3).unwrap(), clock.clone()), clock)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_failures_count_and_they_are_forgiven_one_by_one() {
        let (throttle, clock) = throttle();
        let address = ip("192.0.2.1");
        for _ in 0..3 {
            for _ in 0..100 {
                assert_eq!(throttle.check(address), Ok(()));
            }
            throttle.failed(address);
        }
        let wait = throttle.check(address).unwrap_err();
        assert_eq!(wait, Duration::from_secs(20));
        assert_eq!(throttle.check(ip("192.0.2.2")), Ok(()));

        clock.advance(Duration::from_millis(19_999));
        assert_eq!(throttle.check(address), Err(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        assert_eq!(throttle.check(address), Ok(()));
        throttle.failed(address);
        assert_eq!(throttle.check(address), Err(Duration::from_secs(20)));
    }

    #[test]
    fn one_host_is_one_address_however_it_writes_it() {
        let (throttle, _clock) = throttle();
        for last in 1..=3 {
            throttle.failed(ip(&format!("2001:db8:1:2::{last}")));
        }
        assert!(throttle.check(ip("2001:db8:1:2:ffff::9")).is_err());
        assert!(throttle.check(ip("2001:db8:1:3::1")).is_ok());

        for _ in 0..3 {
            throttle.failed(ip("::ffff:192.0.2.1"));
        }
        assert!(throttle.check(ip("192.0.2.1")).is_err());
        assert!(throttle.check(ip("::ffff:192.0.2.2")).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let (throttle, clock) = throttle();
        for address in 0..(u32::try_from(MOST_ADDRESSES).unwrap() + 1_000) {
            for _ in 0..3 {
                throttle.failed(IpAddr::from(address.to_be_bytes()));
            }
        }
        assert_eq!(throttle.failures.len(), MOST_ADDRESSES);
        assert_eq!(throttle.known.read().len(), MOST_ADDRESSES);
        assert!(throttle.check(IpAddr::from(7_u32.to_be_bytes())).is_err());

        // Those who are known still count.
        clock.advance(Duration::from_secs(20));
        throttle.failed(IpAddr::from(7_u32.to_be_bytes()));
        assert_eq!(throttle.check(IpAddr::from(7_u32.to_be_bytes())), Err(Duration::from_secs(20)));

        clock.advance(Duration::from_mins(2));
        throttle.failed(ip("192.0.2.1"));
        assert_eq!((throttle.failures.len(), throttle.known.read().len()), (1, 1));
    }
}
