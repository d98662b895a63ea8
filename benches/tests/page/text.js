const { edit, piecesOf } = await import("/assets/text.js");

test("text goes in pieces: line ends and tabs are keys", () => {
  equal(piecesOf("a\tb\r\nc\rd\n"), ["a", 0x09, "b", 0x0d, "c", 0x0d, "d", 0x0d]);
  equal(piecesOf("Grüße, 世界 🙂"), ["Grüße, 世界 🙂"]);
  equal(piecesOf(""), []);
});

test("other control characters are left out", () => {
  equal(piecesOf("\u0003a\u001b[31m\u007f"), ["a[31m"]);
  equal(piecesOf("\u0000\n"), [0x0d]);
});

test("what a soft keyboard changes is deleted from the end and typed anew", () => {
  equal(edit("ab", "abc"), { backspaces: 0, text: "c" });
  equal(edit("abc", "ab"), { backspaces: 1, text: "" });
  equal(edit("teh ", "the "), { backspaces: 3, text: "he " });
  equal(edit("🙂🙂", "🙂🙃"), { backspaces: 1, text: "🙃" });
  equal(edit("same", "same"), { backspaces: 0, text: "" });
});
