//! `repeat NAME SIZE TIMES`: so many picks among so many members, for callgrind to count.

use std::env::args;

use athena_pick::pick;

fn main() {
    let [name, size, times] = args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .expect("three words");
    let mut pick = pick(&name, size.parse().expect("members"));
    for request in 0..times.parse().expect("a number") {
        pick(request);
    }
}
