const { actingText, doing, hue, People, since, watching } = await import("/assets/people.js");
const { rightsText } = await import("/assets/rights.js");

const ALL = ["keyboard", "pointer", "touch", "pen", "gamepad", "text"];

test("rights are said at a glance", () => {
  equal([rightsText(ALL), rightsText([]), rightsText(["gamepad"]), rightsText(["text", "keyboard", "pointer"])], ["Full control", "Watches only", "Gamepads", "Keyboard, mouse, text"]);
  equal(rightsText([...ALL, "telepathy"]), "Full control");
});

test("what somebody does stands before what he may do", () => {
  equal(doing({ id: "a", rights: ALL, acting: true }, null), "Acting now · Full control");
  equal(doing({ id: "a", rights: [], acting: false }, "b"), "Watches only");
  equal(doing({ id: "a", rights: ["pen"], acting: true }, "a"), "Has the turn · Pen");
  equal(doing({ id: "a", rights: ["pen"], acting: false }, "a"), "Has the turn · Pen");
  equal(doing({ id: "a" }, undefined), "");
});

test("who acts is named with the number of people", () => {
  equal([[], ["Ann"], ["Ann", "Bob"], ["Ann", "Bob", "Cy"]].map(actingText), ["", ". Acting now: Ann", ". Acting now: Ann and Bob", ". Acting now: Ann, Bob and Cy"]);
});

test("people are counted, and their time is rounded down", () => {
  equal([watching(1), watching(3)], ["Only you are watching", "3 are watching"]);
  equal([0, 59_999, 60_000, 3_599_999, 9_154_000].map(since), ["just now", "just now", "1 min", "59 min", "2 h 32 min"]);
});

test("a colour belongs to an id", () => {
  equal(hue("a") === hue("a"), true);
  equal(["", "a", "0e1c", "ü"].every((id) => hue(id) >= 0 && hue(id) < 360), true);
});

test("who acts or has the turn is marked in the list, and those who act on the button", () => {
  const button = document.createElement("button");
  button.innerHTML = '<span class="count"></span><span class="acting"></span>';
  const list = document.createElement("ul");
  const people = new People(button, list);
  const viewer = (id, acting) => ({ id, name: id, since_ms: 0, rights: ALL, acting });
  people.handleViewers({ you: "Ann", count: 3, viewers: [viewer("Ann", false), viewer("Bob", true), viewer("Cy", false)] }, 0);
  const acts = () => [...list.children].map((item) => item.classList.contains("acts"));
  equal(acts(), [false, true, false]);
  people.handleTurn("Cy");
  equal(acts(), [false, true, true]);
  equal(list.children[2].querySelector(".rights").textContent, "Has the turn · Full control");
  people.handleTurn("Ann");
  equal(acts(), [true, true, false]);
  equal([button.textContent, button.title], ["3B", "3 are watching. Acting now: Bob"]);
  people.clear();
  equal([list.children.length, button.querySelector(".acting").textContent], [0, ""]);
});
