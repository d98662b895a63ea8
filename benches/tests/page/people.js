const { actingText, doing, hue, since, watching } = await import("/assets/people.js");
const { namesOf, rightsText, standing } = await import("/assets/rights.js");

const ALL = ["keyboard", "pointer", "touch", "pen", "gamepad", "text"];
const every = (allowed) => Object.fromEntries(ALL.map((name) => [name, allowed]));

test("rights are said at a glance", () => {
  equal([rightsText(ALL), rightsText([]), rightsText(["gamepad"]), rightsText(["text", "keyboard", "pointer"])], ["Full control", "Watches only", "Gamepads", "Keyboard, mouse, text"]);
  equal(rightsText([...ALL, "telepathy"]), "Full control");
  equal(namesOf({ ...every(false), pen: true, telepathy: true }), ["pen"]);
});

test("what somebody does stands before what he may do", () => {
  equal(doing({ id: "a", rights: ALL, acting: true }, null), "Acting now · Full control");
  equal(doing({ id: "a", rights: [], acting: false }, "b"), "Watches only");
  equal(doing({ id: "a", rights: ["pen"], acting: true }, "a"), "Has the turn · Pen");
  equal(doing({ id: "a" }, undefined), "");
});

test("who acts is named with the number of people", () => {
  equal([[], ["Ann"], ["Ann", "Bob"], ["Ann", "Bob", "Cy"]].map(actingText), ["", ". Acting now: Ann", ". Acting now: Ann and Bob", ". Acting now: Ann, Bob and Cy"]);
});

test("a viewer is told how it stands, and nothing when it may do all", () => {
  const may = { mode: "shared", takes: true, rights: every(true) };
  const ann = { id: "a", name: "Ann" };
  equal([standing(null, null, "a"), standing(may, null, "a")], ["", ""]);
  equal(standing({ ...may, mode: "view_only" }, null, "a"), "Nobody controls the host: everybody watches.");
  equal(standing({ ...may, rights: every(false) }, null, "a"), "You may watch only.");
  equal(standing({ ...may, takes: false }, null, "a"), "The host takes no input at the moment.");
  const turns = { ...may, mode: "one_at_a_time" };
  equal(standing(turns, null, "a"), "One at a time: whoever begins has the turn.");
  equal([standing(turns, ann, "a"), standing(turns, ann, "b")], ["It is your turn.", "It is Ann’s turn."]);
});

test("people are counted, and their time is rounded down", () => {
  equal([watching(1), watching(3)], ["Only you are watching", "3 are watching"]);
  equal([0, 59_999, 60_000, 3_599_999, 9_154_000].map(since), ["just now", "just now", "1 min", "59 min", "2 h 32 min"]);
});

test("a colour belongs to an id", () => {
  equal(hue("a") === hue("a"), true);
  equal(["", "a", "0e1c", "ü"].every((id) => hue(id) >= 0 && hue(id) < 360), true);
});
