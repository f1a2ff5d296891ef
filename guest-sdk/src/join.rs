//! Many futures at once, of which the first that fails ends all.
//!
//! Owns: their order, and that no failure waits for anything. Must not know: what they do.

use std::future::IntoFuture;

use futures_util::future::TryFutureExt as _;
use futures_util::stream::{FuturesUnordered, TryStreamExt as _};

/// Runs all of them at the same time, and gives their values in their order.
///
/// `futures_util` has a function of this name, whose failures wait for everything that stands before
/// them where there are more than 30, for ever behind a task that goes on
/// ([its issue 2866](https://github.com/rust-lang/futures-rs/issues/2866)).
///
/// # Errors
/// The first that comes, at once; the others are dropped, which cancels them.
pub async fn try_join_all<I, T, E>(futures: I) -> Result<Vec<T>, E>
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T, E>>,
{
    let numbered =
        |(number, future): (usize, I::Item)| future.into_future().map_ok(move |value| (number, value));
    let mut running: FuturesUnordered<_> = futures.into_iter().enumerate().map(numbered).collect();
    let mut values: Vec<Option<T>> = (0..running.len()).map(|_| None).collect();
    while let Some((number, value)) = running.try_next().await? {
        values[number] = Some(value);
    }
    Ok(values.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{Ready, pending, poll_fn, ready};
    use std::iter;
    use std::pin::pin;
    use std::task::Poll;

    use futures_util::FutureExt as _;
    use futures_util::future::Either;

    use super::*;

    #[test]
    fn values_come_in_order() {
        let begun = RefCell::new(Vec::new());
        let one = |number: u32| {
            let begun = &begun;
            async move {
                begun.borrow_mut().push(number);
                // Those in front are done last.
                let mut left = 100 - number;
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    left -= 1;
                    if left == 0 { Poll::Ready(Ok::<_, ()>(number)) } else { Poll::Pending }
                })
                .await
            }
        };
        let mut all = pin!(try_join_all((0..100).map(one)));
        assert!(begun.borrow().is_empty(), "nothing begins before it is awaited");
        let values = iter::repeat_with(|| all.as_mut().now_or_never()).take(10_000).flatten().next();
        assert_eq!(values, Some(Ok((0..100).collect())));
        assert_eq!(*begun.borrow(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn none_are_done_at_once() {
        let none: [Ready<Result<u8, ()>>; 0] = [];
        assert_eq!(try_join_all(none).now_or_never(), Some(Ok(Vec::new())));
    }

    /// However many there are, and wherever it stands.
    #[test]
    fn a_failure_waits_for_nothing() {
        for (count, failing) in [(2, 1), (30, 29), (31, 30), (1000, 999), (1000, 0)] {
            let one = |number| match number == failing {
                true => Either::Left(ready(Err::<u8, _>(number))),
                false => Either::Right(pending()),
            };
            assert_eq!(try_join_all((0..count).map(one)).now_or_never(), Some(Err(failing)), "of {count}");
        }
    }
}
