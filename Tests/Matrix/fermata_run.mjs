// What our JavaScript library tells of one stream, in Node and in a page.

/** @param optIn how the library is to say that it understands stream_end. */
export async function run(job, openStream, optIn) {
  const events = [];
  let opened = 0;
  const stream = openStream(job.url, {
    method: job.method,
    headers: Object.entries(job.headers).filter(([name]) => name !== "Last-Event-ID"),
    ...(job.body ? { body: job.body } : {}),
    ...(job.lastEventId ? { lastEventId: job.lastEventId } : {}),
    optIn: job.capability === "stream-end" ? optIn : "off",
    retry: { base: 50, max: 200, attempts: job.resume ? 5 : 0 },
    fetch: (...given) => {
      opened += 1;
      return fetch(...given);
    },
  });
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    stream.close();
  }, job.deadlineMs);
  try {
    for await (const item of stream) {
      if (item.kind === "reset") events.push(["@reset", "", item.reason]);
      else events.push([item.type, item.id, item.data]);
      const pause = (job.readDelayMs ?? 0) + (events.length === 1 ? job.stallMs ?? 0 : 0);
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    }
  } catch {
    // The result has it.
  }
  clearTimeout(limit);
  const { outcome, complete, error } = await stream.done;
  return {
    events,
    end: late ? "timeout" : error ? "error" : "closed",
    error: error ? `${error.code}: ${error.message}` : null,
    status: error?.status ?? (events.length === 0 && complete ? 204 : null),
    reconnects: Math.max(0, opened - 1),
    sawOutcome: outcome,
  };
}
