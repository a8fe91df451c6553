//! What a place in the fair queue costs, by the number of tenants that wait.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::engine::llama::queue::FairQueue;

/// A push and a pop while 256 items wait; every fourth item costs several quanta.
fn turnover(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue/push_and_pop");
    for tenants in [1_usize, 16, 256] {
        let names: Vec<Arc<str>> = (0..tenants).map(|i| Arc::from(format!("subject-{i}"))).collect();
        let mut queue = FairQueue::new(512);
        let mut turn = names.iter().cycle().zip([200, 100, 4000, 300].into_iter().cycle());
        let mut push = move |queue: &mut FairQueue<u64>, item| {
            let Some((tenant, cost)) = turn.next() else { return };
            black_box(queue.push(Arc::clone(tenant), 0, cost, item).is_ok());
        };
        for item in 0..256 {
            push(&mut queue, item);
        }
        group.bench_function(BenchmarkId::from_parameter(tenants), |b| {
            b.iter(|| {
                push(&mut queue, 1);
                black_box(queue.pop())
            });
        });
    }
}

/// Cancelling one of 256.
fn cancel(c: &mut Criterion) {
    let mut queue = FairQueue::new(512);
    for item in 0..256_u64 {
        let tenant = Arc::from(format!("subject-{}", item % 16));
        black_box(queue.push(tenant, 0, 100, item).is_ok());
    }
    c.bench_function("queue/retain_256", |b| b.iter(|| queue.retain(|item| *black_box(item) < 1000)));
}

criterion_group!(benches, turnover, cancel);
criterion_main!(benches);
