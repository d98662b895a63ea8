// What the tests of the page's modules are written with. Each file here is run in a page of the server, behind this one.

const failures = [];
let count = 0;

/** Ends with the last test that waits. */
let finished = Promise.resolve();

function test(name, body) {
  count += 1;
  try {
    body();
  } catch (error) {
    failures.push(`${name}: ${error.message}`);
  }
}

/** A test that waits for something: they run one after the other, behind all that do not. */
function testThatWaits(name, body) {
  count += 1;
  finished = finished.then(body).catch((error) => failures.push(`${name}: ${error.message}`));
}

function equal(actual, expected) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${a} is not ${b}`);
}
