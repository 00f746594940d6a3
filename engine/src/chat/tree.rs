//! All turns of a conversation, where it stands, and which memories are kept.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use super::showing::Picture;
use super::turn::{Asked, Turn};
use crate::model::Model;
use crate::state::State;

/// Bytes that the memories of a conversation may take if nobody says: 1 GiB.
pub const BUDGET: usize = 1 << 30;

/// Turns numbered from 1 in the order in which they came; 0 is the start.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) start: Rc<State>,
    pub(super) turns: Vec<Turn>,
    /// Where the conversation stands.
    pub(super) now: usize,
    /// What was put in place of the memory there.
    pub(super) edited: Option<Rc<State>>,
    /// Pictures that the next question is about.
    pub(super) shown: Vec<Picture>,
    /// Those that were shown at the start.
    pub(super) given: Vec<Picture>,
    /// The child of each turn that was visited last.
    pub(super) visited: BTreeMap<usize, usize>,
    pub(super) budget: usize,
}

impl Tree {
    pub(super) fn new(start: State) -> Self {
        let start = Rc::new(start);
        let (visited, shown, given) = (BTreeMap::new(), Vec::new(), Vec::new());
        let edited = None;
        Self { start, turns: vec![], now: 0, edited, shown, given, visited, budget: BUDGET }
    }

    /// The turn of this number; none for the start.
    pub(super) fn turn(&self, number: usize) -> Option<&Turn> {
        self.turns.get(number.checked_sub(1)?)
    }

    /// The turn where the conversation stands.
    pub(super) fn present(&self) -> Option<&Turn> {
        self.turn(self.now)
    }

    /// Numbers of the turns from the start to this one.
    pub(super) fn path(&self, number: usize) -> Vec<usize> {
        let before = |&number: &usize| Some(self.turn(number)?.asked.parent);
        let mut path: Vec<usize> = std::iter::successors(Some(number), before).collect();
        path.pop();
        path.reverse();
        path
    }

    /// The numbers of the turns that follow this one, the oldest first.
    pub(super) fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        let turns = (1..).zip(&self.turns);
        turns.filter(move |(_, turn)| turn.asked.parent == parent).map(|(number, _)| number)
    }

    /// Checks that there is such a turn.
    ///
    /// # Errors
    /// Says which there are.
    pub(super) fn check(&self, number: usize) -> Result<()> {
        let count = self.turns.len();
        ensure!(
            number <= count,
            "there is no turn {number}; this chat has {count}, and 0 is the start: chat.tree() \
             shows them."
        );
        Ok(())
    }

    /// Adds a turn and stands there.
    pub(super) fn add(&mut self, turn: Turn) {
        self.turns.push(turn);
        self.stand_at(self.turns.len(), None);
    }

    /// Puts a turn in place of the present one.
    pub(super) fn replace(&mut self, turn: Turn) {
        if let Some(old) = self.now.checked_sub(1).and_then(|at| self.turns.get_mut(at)) {
            *old = turn;
        }
        self.stand_at(self.now, None);
    }

    /// Goes to a turn whose memory is known, perhaps with another one in its place.
    pub(super) fn stand_at(&mut self, number: usize, edited: Option<Rc<State>>) {
        let path = self.path(number);
        self.visited.extend(std::iter::once(0).chain(path.clone()).zip(path));
        self.now = number;
        self.edited = edited;
        self.shown = if number == 0 { self.given.clone() } else { Vec::new() };
        self.thin_out();
    }

    /// The memory where the conversation stands.
    pub(super) fn state(&self) -> &Rc<State> {
        let known = || self.present()?.state.as_ref();
        self.edited.as_ref().or_else(known).unwrap_or(&self.start)
    }

    /// The memory after a turn; where it was dropped, the turns since the last one that was not are
    /// read again.
    ///
    /// # Errors
    /// When that is interrupted.
    pub(super) fn memory(
        &mut self,
        model: &Model,
        number: usize,
        interrupt: &AtomicBool,
    ) -> Result<Rc<State>> {
        let (mut missing, mut at) = (vec![], number);
        let mut state = loop {
            let Some(turn) = self.turn(at) else { break self.start.clone() };
            if let Some(state) = &turn.state {
                break state.clone();
            }
            missing.push(at);
            if let Some(base) = &turn.asked.base {
                break base.clone();
            }
            at = turn.asked.parent;
        };
        for &number in missing.iter().rev() {
            let turn = &self.turns[number - 1];
            state = turn.reading.state(model, &state, interrupt)?;
        }
        if !missing.is_empty() {
            self.turns[number - 1].state = Some(state.clone());
        }
        Ok(state)
    }

    /// The memory that a question is asked from.
    ///
    /// # Errors
    /// As [`Tree::memory`].
    pub(super) fn before(
        &mut self,
        model: &Model,
        asked: &Asked,
        interrupt: &AtomicBool,
    ) -> Result<Rc<State>> {
        match &asked.base {
            Some(base) => Ok(base.clone()),
            None => self.memory(model, asked.parent, interrupt),
        }
    }

    /// Bytes of all that is kept, each memory counted once.
    pub(super) fn bytes(&self) -> usize {
        let mut seen = HashSet::new();
        let ends = self.turns.iter().filter_map(|turn| turn.end.as_ref());
        let logits: usize = ends.clone().map(|end| 4 * end.logits.len()).sum();
        let ends = ends.flat_map(|end| end.half.iter().chain([&end.raw]));
        let turns = self
            .turns
            .iter()
            .flat_map(|turn| turn.state.iter().chain(&turn.asked.base).chain(&turn.asked.unread));
        let all = [&self.start].into_iter().chain(&self.edited).chain(turns).chain(ends);
        let states: usize =
            all.filter(|state| seen.insert(Rc::as_ptr(state))).map(|state| state.bytes()).sum();
        states + logits
    }

    /// Drops memories until the rest fits the budget: first where old answers could go on, then
    /// every second turn, then three of four, and so on. What cannot be read again stays, and the
    /// start and the present.
    pub(super) fn thin_out(&mut self) {
        if self.bytes() <= self.budget {
            return;
        }
        for at in 0..self.turns.len() {
            let turn = &mut self.turns[at];
            if at + 1 != self.now && !turn.foreign && turn.end.take().is_some() && self.fits() {
                return;
            }
        }
        let depths = self.depths();
        let near = [self.now, self.present().map_or(0, |turn| turn.asked.parent)];
        let deepest = depths.iter().copied().max().unwrap_or(0);
        let spacings = std::iter::successors(Some(2), |spacing| Some(2 * spacing));
        for spacing in spacings.take_while(|spacing| *spacing < 2 * deepest) {
            let spared = |number: usize| {
                near.contains(&number) || depths[number - 1].is_multiple_of(spacing)
            };
            if self.drop_all_but(spared) {
                return;
            }
        }
        let now = self.now;
        if !self.drop_all_but(|number| near.contains(&number)) {
            self.drop_all_but(|number| number == now);
        }
    }

    /// Drops the memories of all turns but those spared, oldest first; whether the rest fits.
    fn drop_all_but(&mut self, spared: impl Fn(usize) -> bool) -> bool {
        for at in 0..self.turns.len() {
            let turn = &mut self.turns[at];
            if !spared(at + 1) && !turn.foreign && turn.state.take().is_some() && self.fits() {
                return true;
            }
        }
        false
    }

    fn fits(&self) -> bool {
        self.bytes() <= self.budget
    }

    /// How many turns lead to each turn, itself counted.
    pub(super) fn depths(&self) -> Vec<usize> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.turns.len());
        for turn in &self.turns {
            let before = turn.asked.parent.checked_sub(1).map_or(0, |at| depths[at]);
            depths.push(before + 1);
        }
        depths
    }
}
