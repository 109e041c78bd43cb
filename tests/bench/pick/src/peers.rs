//! The peers, used as their own documentation does.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::task::noop_waker_ref;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use pingora_load_balancing::{Backend, LoadBalancer};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::{Discover, ServiceList};
use tower::load::Load;

/// linkerd's default for the response time of a member not heard of yet, and for the decay.
pub const FIRST: Duration = Duration::from_millis(30);
pub const DECAY: Duration = Duration::from_secs(10);

/// How many members may be looked at: pingora's `docs/quick_start.md` has this.
const ITERATIONS: usize = 256;

pub fn pingora<S>(size: usize) -> LoadBalancer<S>
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    let addresses = (0..size).map(|n| format!("127.0.{}.{}:80", n / 250, n % 250));
    LoadBalancer::try_from_iter(addresses).expect("addresses")
}

pub fn select<S>(balancer: &LoadBalancer<S>, key: &[u8]) -> Backend
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    balancer.select(key, ITERATIONS).expect("a backend")
}

/// Members of tower's that answer at once.
pub fn services(size: usize) -> ServiceList<Vec<Instantly>> {
    ServiceList::new::<()>(vec![Instantly; size])
}

#[derive(Clone)]
pub struct Instantly;

impl Service<()> for Instantly {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

/// tower's balancer over members found by `D`, which says what their load is.
pub struct P2c<D: Discover<Key = usize>>(Balance<D, ()>)
where
    D::Service: Service<()>;

impl<D> P2c<D>
where
    D: Discover<Key = usize> + Unpin,
    D::Error: Into<tower::BoxError>,
    D::Service: Service<(), Error = Infallible> + Load,
    <D::Service as Load>::Metric: std::fmt::Debug,
{
    pub fn new(members: D) -> Self {
        Self(Balance::new(members))
    }

    /// A request, from the choice to its end.
    pub fn serve(&mut self) {
        let ready = self
            .0
            .poll_ready(&mut Context::from_waker(noop_waker_ref()));
        assert!(ready.is_ready(), "all members are");
        let answer = self.0.call(()).now_or_never();
        assert!(matches!(answer, Some(Ok(_))), "they answer at once");
    }
}
