//! Who goes next: a bounded queue, fair by tenant inside strict priorities.
//!
//! Higher priorities go first, always. Inside one priority tenants take turns by **deficit round robin** (Shreedhar
//! and Varghese 1995): a turn earns a tenant [`QUANTUM`] tokens of credit, an item goes when its tenant's credit
//! covers its cost, and credit ends when the tenant has nothing left to send. So from the moment two tenants both
//! wait, and for as long as they do, neither is served more tokens than the other by more than a quantum and the
//! dearest item, however many items it queues and however they are cut.
//!
//! A plain data structure: no clock, no threads, nothing kept of a tenant that has nothing queued.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Tokens of credit a turn earns. Short prompts alternate in small groups; a long one saves for several turns.
pub const QUANTUM: u32 = 512;

/// The queue is at its bound; the item comes back.
#[derive(Debug, thiserror::Error)]
#[error("the queue is full")]
pub struct Full<T>(
    /// What could not be queued.
    pub T,
);

/// A bounded queue, fair by tenant inside strict priorities; see the [module](self).
#[derive(Debug)]
pub struct FairQueue<T> {
    bound: usize,
    len: usize,
    /// Tokens of all items.
    cost: u64,
    /// By priority, the highest first. Only classes with items exist.
    classes: BTreeMap<Reverse<u8>, Class<T>>,
}

/// The tenants of one priority.
#[derive(Debug)]
struct Class<T> {
    /// Only tenants with items exist.
    lanes: HashMap<Arc<str>, Lane<T>>,
    /// The same tenants in the order of their turns; the front one is served.
    turns: VecDeque<Arc<str>>,
}

/// What one tenant waits for.
#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<Queued<T>>,
    credit: u64,
    /// Has earned the credit of the turn it is in.
    in_turn: bool,
}

#[derive(Debug)]
struct Queued<T> {
    cost: u32,
    item: T,
}

impl<T> FairQueue<T> {
    /// An empty queue for at most `bound` items.
    pub fn new(bound: usize) -> Self {
        Self { bound, len: 0, cost: 0, classes: BTreeMap::new() }
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that all waiting items cost together.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Queues an item behind its tenant's others. `cost` is in tokens; nothing costs less than one.
    pub fn push(&mut self, tenant: Arc<str>, priority: u8, cost: u32, item: T) -> Result<(), Full<T>> {
        if self.len >= self.bound {
            return Err(Full(item));
        }
        let queued = self.count_in(cost, item);
        self.class(priority).lane(tenant, Side::Back).items.push_back(queued);
        Ok(())
    }

    /// Puts an item that was popped, but could not finish, back before its tenant's others.
    ///
    /// It has been paid for: its cost is credited, and where its tenant waits for nothing else it is next in turn.
    /// The bound does not hold here, since refusing would lose work that was admitted; the queue grows past it by
    /// no more than was popped.
    pub fn put_back(&mut self, tenant: Arc<str>, priority: u8, cost: u32, item: T) {
        let queued = self.count_in(cost, item);
        let lane = self.class(priority).lane(tenant, Side::Front);
        lane.credit += u64::from(queued.cost);
        lane.items.push_front(queued);
    }

    /// Takes the next item.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Takes the next item if `fits` accepts it. Otherwise it stays the next one of its priority: what came first
    /// and is large is not passed by what came later and is small.
    pub fn pop_if(&mut self, fits: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut class = self.classes.first_entry()?;
        class.get_mut().advance();
        let queued = class.get_mut().take_if(fits)?;
        if class.get().turns.is_empty() {
            class.remove();
        }
        self.count_out(&queued);
        Some(queued.item)
    }

    /// Keeps the items that `keep` accepts, in their places; the way to cancel.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let (mut len, mut cost) = (0, 0);
        for class in self.classes.values_mut() {
            for lane in class.lanes.values_mut() {
                lane.items.retain_mut(|queued| keep(&mut queued.item));
                len += lane.items.len();
                cost += lane.items.iter().map(|queued| u64::from(queued.cost)).sum::<u64>();
            }
            class.lanes.retain(|_, lane| !lane.items.is_empty());
            class.turns.retain(|tenant| class.lanes.contains_key(tenant));
        }
        self.classes.retain(|_, class| !class.turns.is_empty());
        (self.len, self.cost) = (len, cost);
    }

    fn class(&mut self, priority: u8) -> &mut Class<T> {
        let empty = || Class { lanes: HashMap::new(), turns: VecDeque::new() };
        self.classes.entry(Reverse(priority)).or_insert_with(empty)
    }

    fn count_in(&mut self, cost: u32, item: T) -> Queued<T> {
        let queued = Queued { cost: cost.max(1), item };
        self.len += 1;
        self.cost += u64::from(queued.cost);
        queued
    }

    fn count_out(&mut self, queued: &Queued<T>) {
        self.len -= 1;
        self.cost -= u64::from(queued.cost);
    }
}

/// Where a tenant without a turn gets one.
#[derive(Clone, Copy)]
enum Side {
    Front,
    Back,
}

impl<T> Class<T> {
    /// The tenant's lane, made with a turn at `side` if it waits for nothing yet.
    fn lane(&mut self, tenant: Arc<str>, side: Side) -> &mut Lane<T> {
        let turns = &mut self.turns;
        self.lanes.entry(tenant).or_insert_with_key(|tenant| {
            match side {
                Side::Front => turns.push_front(Arc::clone(tenant)),
                Side::Back => turns.push_back(Arc::clone(tenant)),
            }
            Lane { items: VecDeque::new(), credit: 0, in_turn: matches!(side, Side::Front) }
        })
    }

    /// Moves the turns on until the front tenant's credit covers its first item.
    ///
    /// After one round without success the rounds that cannot succeed either are granted at once, so that this
    /// visits each tenant three times at most, whatever the costs; where no item costs more than a quantum, only the
    /// one whose turn ends and the next.
    fn advance(&mut self) {
        for _ in 0..self.turns.len() {
            if self.try_front() {
                return;
            }
        }
        let rounds = self.lanes.values().map(Lane::rounds_short).min().unwrap_or(0);
        let credit = rounds.saturating_sub(1) * u64::from(QUANTUM);
        for lane in self.lanes.values_mut() {
            lane.credit += credit;
        }
        for _ in 0..self.turns.len() {
            if self.try_front() {
                return;
            }
        }
    }

    /// Whether the front tenant, with its turn's credit, can be served; otherwise its turn ends.
    fn try_front(&mut self) -> bool {
        let Some(lane) = self.turns.front().and_then(|tenant| self.lanes.get_mut(tenant)) else {
            return true;
        };
        if !lane.in_turn {
            lane.in_turn = true;
            lane.credit += u64::from(QUANTUM);
        }
        if lane.rounds_short() == 0 {
            return true;
        }
        lane.in_turn = false;
        self.turns.rotate_left(1);
        false
    }

    fn take_if(&mut self, fits: impl FnOnce(&T) -> bool) -> Option<Queued<T>> {
        let tenant = self.turns.front()?;
        let lane = self.lanes.get_mut(tenant)?;
        if !fits(&lane.items.front()?.item) {
            return None;
        }
        let queued = lane.items.pop_front()?;
        lane.credit = lane.credit.saturating_sub(u64::from(queued.cost));
        if lane.items.is_empty() {
            self.lanes.remove(tenant);
            self.turns.pop_front();
        }
        Some(queued)
    }
}

impl<T> Lane<T> {
    /// Turns whose credit is missing for the first item.
    fn rounds_short(&self) -> u64 {
        let cost = self.items.front().map_or(0, |queued| u64::from(queued.cost));
        cost.saturating_sub(self.credit).div_ceil(u64::from(QUANTUM))
    }
}
