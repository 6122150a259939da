// What callers write, as the compiler sees it. Nothing of it runs.
import { createParser, FermataEventSource, FermataStreamError, openStream, SSE_EVENTS } from "fermata-client";
import type { AgentEvent, FermataStream, Outcome, StreamOptions, StreamResult } from "fermata-client";
import { FermataEventSource as Alone } from "fermata-client/eventsource";
import { createParser as parserAlone } from "fermata-client/parser";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(): T => true as T;

const options: StreamOptions = {
  body: { prompt: "hello" },
  headers: async (attempt) => ({ Authorization: `Bearer ${attempt}` }),
  idempotencyKey: true,
  onDisconnect: "grace=30",
  deadTimeout: "auto",
  retry: { base: 100, attempts: 3 },
  order: "index",
  filterStreamId: "a",
  onReset: ({ reason, oldest }) => console.log(reason, oldest),
  onRetry: ({ delay, error }) => console.log(delay, error.code),
  completionEvents: [SSE_EVENTS.COMPLETE, "finished"],
  requireTerminal: true,
  signal: new AbortController().signal,
};

export async function read(url: URL): Promise<string> {
  const stream: FermataStream = openStream(url, options);
  for await (const item of stream) {
    if (item.kind === "reset") console.log(item.streamId, item.reason);
    else console.log(item.type, item.data, item.id, item.json<AgentEvent>().type);
  }
  for await (const value of stream.json<{ n: number }>()) is<Equal<typeof value, { n: number }>>();
  const { outcome, complete, error, end }: StreamResult = await stream.done;
  is<Equal<typeof outcome, Outcome>>();
  is<Equal<typeof complete, boolean>>();
  if (error instanceof FermataStreamError && error.isRetryable) {
    console.log(error.status, error.retryAfter, error.result.reason);
  }
  console.log(end?.events, end?.["usage"]);
  const { headers, mode } = await stream.opened;
  console.log(headers.get("X-Stream-Id"), mode === "graceful");
  stream.close("enough");
  await stream.cancel();
  return stream.text((event) => (event.type === "delta" ? event.data : undefined));
}

export function follow(url: string): FermataEventSource {
  const source = new Alone(url, { withCredentials: true, headers: [["X-A", "b"]] });
  source.onmessage = (event) => console.log(event.data.length, event.lastEventId);
  source.onerror = ({ outcome, status }) => console.log(outcome, status);
  source.addEventListener("token", (event) => console.log((event as MessageEvent<string>).data));
  is<Equal<typeof FermataEventSource.CLOSED, 2>>();
  return source;
}

export const parsers = [createParser, parserAlone].map((create) =>
  create({ onEvent: ({ data }) => console.log(data) })
);

// @ts-expect-error: there is no such opt-in
openStream("/", { optIn: "always" });
// @ts-expect-error: only the library makes them
new FermataStreamError();
// @ts-expect-error: read only
openStream("/").streamId = "a";
// @ts-expect-error: a frozen name
SSE_EVENTS.DONE = "finished";
