// What the tests of the page's modules are written with. Each file here is run in a page of the server, behind this one.

const failures = [];
let count = 0;

function test(name, body) {
  count += 1;
  try {
    body();
  } catch (error) {
    failures.push(`${name}: ${error.message}`);
  }
}

function equal(actual, expected) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${a} is not ${b}`);
}
