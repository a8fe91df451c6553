//! Properties of the queue: bounds, order, shares, and that nothing is lost or kept.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn tenant(number: u8) -> Arc<str> {
    Arc::from(format!("tenant {number}"))
}

/// What the tests queue: whose it is, and its place among that tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    tenant: u8,
    priority: u8,
    cost: u32,
    number: usize,
}

fn push(queue: &mut FairQueue<Job>, job: Job) {
    queue.push(tenant(job.tenant), job.priority, job.cost, job).unwrap();
}

fn put_back(queue: &mut FairQueue<Job>, job: Job) {
    queue.put_back(tenant(job.tenant), job.priority, job.cost, job);
}

fn drain(queue: &mut FairQueue<Job>) -> Vec<Job> {
    std::iter::from_fn(|| queue.pop()).collect()
}

fn assert_nothing_is_kept(queue: &FairQueue<Job>) {
    assert_eq!((queue.len(), queue.cost()), (0, 0));
    assert!(queue.is_empty() && queue.classes.is_empty());
}

prop_compose! {
    fn jobs(most_tenants: u8, most_priorities: u8, most_cost: u32)(
        raw in prop::collection::vec((0..most_tenants, 0..most_priorities, 0..most_cost), 0..200)
    ) -> Vec<Job> {
        raw.into_iter().enumerate().map(|(number, (tenant, priority, cost))| Job { tenant, priority, cost, number }).collect()
    }
}

#[test]
fn a_full_queue_hands_the_item_back() {
    let mut queue = FairQueue::new(2);
    queue.push(tenant(0), 0, 1, 'a').unwrap();
    queue.push(tenant(1), 9, 1, 'b').unwrap();
    assert_eq!(queue.push(tenant(2), 9, 1, 'c').unwrap_err().0, 'c');
    assert_eq!(queue.len(), 2);
    assert_eq!(queue.pop(), Some('b'));
    queue.push(tenant(2), 0, 1, 'c').unwrap();
}

#[test]
fn a_tenant_with_one_item_is_not_held_up_by_one_with_many() {
    let mut queue = FairQueue::new(1000);
    for number in 0..500 {
        push(&mut queue, Job { tenant: 0, priority: 0, cost: 300, number });
    }
    let first = queue.pop().unwrap();
    assert_eq!(first.tenant, 0);
    push(&mut queue, Job { tenant: 1, priority: 0, cost: 300, number: 0 });
    let before = std::iter::from_fn(|| queue.pop()).take_while(|job| job.tenant == 0).count();
    assert!(before <= 1, "{before} items went first");
}

#[test]
fn an_item_of_any_cost_is_served_without_a_walk_by_quanta() {
    let mut queue = FairQueue::new(10);
    for number in 0..4_u8 {
        push(&mut queue, Job { tenant: number, priority: 0, cost: u32::MAX - u32::from(number), number: 0 });
    }
    assert_eq!(drain(&mut queue).len(), 4);
    assert_nothing_is_kept(&queue);
}

#[test]
fn what_does_not_fit_stays_next_and_is_asked_again() {
    let mut queue = FairQueue::new(10);
    for number in 0..3 {
        push(&mut queue, Job { tenant: 0, priority: 0, cost: 100, number });
        push(&mut queue, Job { tenant: 1, priority: 0, cost: 900, number });
    }
    let mut asked = Vec::new();
    for _ in 0..50 {
        assert!(
            queue
                .pop_if(|job| {
                    asked.push(*job);
                    false
                })
                .is_none()
        );
    }
    asked.dedup();
    assert_eq!(asked.len(), 1);
    assert_eq!(queue.pop(), asked.pop());
    assert_eq!(queue.len(), 5);
}

#[test]
fn what_is_put_back_is_next_and_not_paid_for_twice() {
    let mut queue = FairQueue::new(3);
    for number in 0..3 {
        push(&mut queue, Job { tenant: u8::try_from(number % 2).unwrap(), priority: 0, cost: 700, number });
    }
    let victim = queue.pop().unwrap();
    push(&mut queue, Job { tenant: 2, priority: 0, cost: 1, number: 9 });
    put_back(&mut queue, victim);
    assert_eq!(queue.len(), 4, "past the bound rather than lost");
    let alone = queue.pop_if(|job| job.tenant != victim.tenant);
    let order: Vec<Job> =
        alone.into_iter().chain(drain(&mut queue)).filter(|job| job.tenant == victim.tenant).collect();
    assert_eq!(order.first(), Some(&victim));
    assert_nothing_is_kept(&queue);
}

#[test]
fn a_lone_victim_goes_before_tenants_that_wait() {
    let mut queue = FairQueue::new(8);
    push(&mut queue, Job { tenant: 0, priority: 0, cost: 5000, number: 0 });
    let victim = queue.pop().unwrap();
    for number in 1..5_u8 {
        push(&mut queue, Job { tenant: number, priority: 0, cost: 10, number: 0 });
    }
    put_back(&mut queue, victim);
    assert_eq!(queue.pop(), Some(victim));
}

proptest! {
    #[test]
    fn every_item_comes_out_once_by_priority_and_in_its_tenants_order(jobs in jobs(6, 3, 3000)) {
        let mut queue = FairQueue::new(jobs.len());
        for job in &jobs {
            push(&mut queue, *job);
        }
        prop_assert_eq!(queue.len(), jobs.len());
        prop_assert_eq!(queue.cost(), jobs.iter().map(|job| u64::from(job.cost.max(1))).sum::<u64>());
        let served = drain(&mut queue);
        prop_assert!(served.is_sorted_by_key(|job| Reverse(job.priority)));
        let mut last = HashMap::new();
        for job in &served {
            let before = last.insert((job.tenant, job.priority), job.number);
            prop_assert!(before.is_none_or(|before| before < job.number));
        }
        let mut numbers: Vec<usize> = served.iter().map(|job| job.number).collect();
        numbers.sort_unstable();
        prop_assert!(numbers.into_iter().eq(0..jobs.len()));
        assert_nothing_is_kept(&queue);
    }

    /// All tenants wait from the start to the end of what is looked at, each with its own mix of costs.
    #[test]
    fn no_tenant_is_ahead_by_more_than_a_quantum_and_the_dearest_item(
        costs in prop::collection::vec(prop::collection::vec(1_u32..4000, 1..8), 2..8)
    ) {
        let mut queue = FairQueue::new(usize::MAX);
        for number in 0..400 * costs.len() {
            let (round, who) = (number / costs.len(), number % costs.len());
            let mix = &costs[who];
            let job = Job { tenant: u8::try_from(who).unwrap(), priority: 0, cost: mix[round % mix.len()], number };
            push(&mut queue, job);
        }
        let dearest = u64::from(*costs.iter().flatten().max().unwrap());
        let slack = u64::from(QUANTUM) + dearest;
        let mut served = vec![0_u64; costs.len()];
        let mut waiting = vec![400_u32; costs.len()];
        while waiting.iter().all(|&left| left > 1) {
            let job = queue.pop().unwrap();
            served[usize::from(job.tenant)] += u64::from(job.cost);
            waiting[usize::from(job.tenant)] -= 1;
            let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
            prop_assert!(most - least <= slack, "{served:?}, slack {slack}");
        }
    }

    #[test]
    fn the_queue_agrees_with_a_plain_list_whatever_is_done(
        steps in prop::collection::vec((0_u8..8, 0_u8..4, 0_u8..2, 0_u32..2000), 0..300)
    ) {
        const BOUND: usize = 20;
        let mut queue = FairQueue::new(BOUND);
        let mut model: Vec<Job> = Vec::new();
        for (number, (action, tenant, priority, cost)) in steps.into_iter().enumerate() {
            let job = Job { tenant, priority, cost, number };
            match action {
                0..=3 => {
                    let pushed = queue.push(Arc::from(format!("tenant {tenant}")), priority, cost, job);
                    prop_assert_eq!(pushed.is_ok(), model.len() < BOUND);
                    if pushed.is_ok() {
                        model.push(job);
                    }
                }
                4 | 5 => {
                    let popped = queue.pop();
                    prop_assert_eq!(popped.is_some(), !model.is_empty());
                    if let Some(popped) = popped {
                        prop_assert!(model.iter().all(|job| job.priority <= popped.priority));
                        let same = |job: &&Job| (job.tenant, job.priority) == (popped.tenant, popped.priority);
                        prop_assert_eq!(model.iter().find(same), Some(&popped));
                        model.retain(|job| job.number != popped.number);
                    }
                }
                6 => {
                    if let Some(popped) = queue.pop() {
                        put_back(&mut queue, popped);
                    }
                }
                _ => {
                    queue.retain(|job| job.tenant != tenant);
                    model.retain(|job| job.tenant != tenant);
                }
            }
            prop_assert_eq!(queue.len(), model.len());
            let lanes: usize = queue.classes.values().map(|class| class.lanes.len()).sum();
            let turns: usize = queue.classes.values().map(|class| class.turns.len()).sum();
            let mut waiting: Vec<(u8, u8)> = model.iter().map(|job| (job.priority, job.tenant)).collect();
            waiting.sort_unstable();
            waiting.dedup();
            prop_assert_eq!((lanes, turns), (waiting.len(), waiting.len()));
        }
        drain(&mut queue);
        assert_nothing_is_kept(&queue);
    }
}
