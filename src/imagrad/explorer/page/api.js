// Questions to the server: errors as sentences, and only the newest of many questions.

const TRIES = 3;

const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

let open = 0;

function count(by) {
  open += by;
  document.querySelector("main").setAttribute("aria-busy", String(open > 0));
}

async function fetched(path, options) {
  count(1);
  try {
    return await tried(path, options);
  } finally {
    setTimeout(() => count(-1)); // after whatever is asked next because of this answer
  }
}

async function tried(path, options) {
  for (let attempt = 1; ; attempt++) {
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Error("The server does not answer. Is `imagrad serve` still running?");
    }
    if (answer.ok) return answer.json();
    if ([429, 503].includes(answer.status) && attempt < TRIES) {
      await sleep(Number(answer.headers.get("retry-after") ?? 1));
      continue;
    }
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.error ?? `The server answered with the status ${answer.status}.`);
  }
}

export const get = (path) => fetched(path);

export const ask = (question, body) =>
  fetched(`/api/${question}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

export const upload = (file, fit, invert) =>
  fetched(`/api/upload?fit=${fit}&invert=${invert}`, {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body: file,
  });

// Runs `work` for the newest value alone: while one is under way, only the last that came is kept.
export function latest(work, failed) {
  let running = false;
  let waiting = null;
  return async function next(value) {
    waiting = { value };
    if (running) return;
    running = true;
    while (waiting !== null) {
      const { value: newest } = waiting;
      waiting = null;
      try {
        await work(newest, () => waiting !== null);
      } catch (error) {
        failed(error);
      }
    }
    running = false;
  };
}
