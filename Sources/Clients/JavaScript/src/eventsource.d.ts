export { FermataEventSource } from "./index.js";
export type { EventSourceOptions, StreamErrorEvent } from "./index.js";
