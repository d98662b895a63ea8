const { sayingOf } = await import("/assets/control.js");

const ALL = { keyboard: true, pointer: true, touch: true, pen: true, gamepad: true, text: true };
const NONE = Object.fromEntries(Object.keys(ALL).map((name) => [name, false]));
const status = (changes = {}) => ({ mode: "shared", takes: true, rights: ALL, ...changes });
const viewers = { you: "a", viewers: [{ id: "a", name: "Ann" }, { id: "b", name: "Bob" }, { id: "c", name: null }] };
const label = (...of) => sayingOf(...of).label;

test("the pill says who is in control", () => {
  equal(label(status(), false, null), "Control");
  equal(label(status(), true, viewers), "You are in control");
  equal(label(status({ turn: "b" }), true, viewers), "You are in control");
  const one = (turn) => status({ mode: "one_at_a_time", turn });
  equal(label(one("b"), true, viewers), "Bob has the turn");
  equal(label(one("a"), true, viewers), "You are in control");
  equal(label(one(null), false, viewers), "Control");
  equal(label(one("c"), false, viewers), "Somebody else has the turn");
  // Among very many not all are listed, and a turn may be told before the list.
  equal(label(one("z"), false, viewers), "Somebody else has the turn");
  equal(label(one("b"), false, null), "Somebody else has the turn");
});

test("who has fingers alone is told of no keys", () => {
  const hints = [false, true].map((engaged) => sayingOf(status(), engaged, viewers, true).hint);
  equal(hints, ["Use this host's keyboard and mouse: press here, or tap the picture.", "Give control back."]);
});

test("who only watches is told why", () => {
  const all = [status({ mode: "view_only" }), status({ rights: NONE }), status({ takes: false })].map((status) => sayingOf(status, true, viewers));
  equal(all.map(({ label }) => label), ["View only", "View only", "View only"]);
  equal(new Set(all.map(({ hint }) => hint)).size, 3);
  equal(sayingOf(null, true, null).state, "unknown");
});
