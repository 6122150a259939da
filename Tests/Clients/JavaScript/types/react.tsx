// The hook as callers write it. Nothing of it runs.
import { createElement } from "react";
import type { StreamEvent } from "fermata-client";
import { AgentStreamStore, useAgentStream } from "fermata-client/react";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(): T => true as T;

export function Answer({ runId }: { runId: string | null }) {
  const whole = useAgentStream(runId && `/runs/${runId}`);
  is<Equal<typeof whole.partials, readonly StreamEvent[]>>();
  const { partials, status, error, isComplete, lastEventId, bytesReceived, cancel } = useAgentStream("/runs", {
    select: (event) => (event.type === "delta" ? event.json<{ text: string }>().text : undefined),
    key: runId,
    throttle: 100,
    onUnmount: "cancel",
    onFinish: ({ verified }) => console.log(verified),
  });
  is<Equal<typeof partials, readonly string[]>>();
  const title = `${status} ${lastEventId} ${bytesReceived} ${error?.code}`;
  return createElement("button", { onClick: cancel, disabled: isComplete, title }, partials.join(""));
}

const store = new AgentStreamStore<number>();
store.show("/runs", { reduce: (all, event) => [...all, event.data.length] });
store.subscribe(() => console.log(store.getSnapshot().partials[0]?.toFixed()));

// @ts-expect-error: no such end
useAgentStream("/runs", { onUnmount: "stop" });
