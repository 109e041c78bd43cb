//! Times one pick among 3, 1,000 and 10,000 members.

use std::time::Duration;

use athena_pick::{NAMES, pick};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    for size in [3, 1_000, 10_000] {
        for name in NAMES {
            let mut pick = pick(name, size);
            let mut request = 0;
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter(|| {
                    request += 1;
                    pick(request);
                });
            });
        }
    }
}

criterion_group!(benches, picks);
criterion_main!(benches);
