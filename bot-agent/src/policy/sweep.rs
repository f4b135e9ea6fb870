//! The sweep: once through the addresses of a family, with a stack of the prefixes that cover the
//! place it has come to.

use super::{
    compile::Piece,
    family::Family,
    networks::{Coming, Networks},
    states::{NOTHING, Network, State, States},
};

/// A sweep through a region.
pub(super) struct Sweep<'s, 'a, A> {
    states: &'s mut States,
    networks: &'s mut Networks<'a>,
    coming: Coming<'a, A>,
    /// Last addresses of the prefixes that cover the place, the narrowest on top, and the state in
    /// each.
    covering: Vec<(A, State)>,
    /// The state where no prefix of the sweep is.
    outside: State,
    /// Where the sweep is; `None`: past the last address there is.
    at: Option<A>,
    last: A,
    pieces: Vec<Piece<A>>,
}

impl<'s, 'a, A: Family> Sweep<'s, 'a, A> {
    /// A sweep from `first` to `last`, all of which is in the state `outside`. Networks are those of
    /// `coming`.
    pub(super) fn new(
        states: &'s mut States,
        networks: &'s mut Networks<'a>,
        coming: Coming<'a, A>,
        (first, last): (A, A),
        outside: State,
    ) -> Self {
        Self {
            states,
            networks,
            coming,
            covering: Vec::new(),
            outside,
            at: Some(first),
            last,
            pieces: Vec::new(),
        }
    }

    /// Goes on to a prefix, which has a state that follows from the state around it. Prefixes come
    /// in order.
    pub(super) fn enter(
        &mut self,
        first: A,
        bits: u8,
        state: impl FnOnce(&mut States, State) -> State,
    ) {
        while let Some((last, state)) = self.covering.pop_if(|(last, _)| *last < first) {
            self.go_on(last, state);
        }
        let around = self
            .covering
            .last()
            .map_or(self.outside, |(_, state)| *state);
        if let Some(before) = first.preceding() {
            self.go_on(before, around);
        }
        let state = state(self.states, around);
        if state != around {
            self.covering.push((first.last_of(bits), state));
        }
    }

    /// Goes on to the end.
    pub(super) fn finish(mut self) -> Vec<Piece<A>> {
        while let Some((last, state)) = self.covering.pop() {
            self.go_on(last, state);
        }
        self.go_on(self.last, self.outside);
        self.pieces
    }

    /// Everything up to `last` is in this state.
    fn go_on(&mut self, last: A, state: State) {
        while let Some(first) = self.at.filter(|first| *first <= last) {
            let (until, network) = match self.coming.next_from(first) {
                Some(range) if range.first <= first => {
                    (range.last, self.networks.of(range, self.states))
                }
                Some(range) => (range.first.preceding().unwrap_or(last), Network::NONE),
                None => (last, Network::NONE),
            };
            let until = until.min(last);
            self.push(first, until, state, network);
            self.at = until.following();
        }
    }

    fn push(&mut self, first: A, last: A, state: State, network: Network) {
        let chain = self.states.chain(state, network);
        if chain == NOTHING {
            return;
        }
        let continues =
            |piece: &&mut Piece<A>| piece.chain == chain && piece.last.following() == Some(first);
        match self.pieces.last_mut().filter(continues) {
            Some(piece) => piece.last = last,
            None => self.pieces.push(Piece { first, last, chain }),
        }
    }
}
