/** An event as it stood in the stream. */
export interface ParsedEvent {
  /** The event's type; `message` if it names none. */
  type: string;
  /** Its data lines, joined by line feeds. */
  data: string;
  /** The last event id when it came: its own, or that of an event before it. */
  id: string;
}

/** What a parser is made of. */
export interface ParserOptions {
  /**
   * Called for each event with data.
   * @param named whether the event has an `event` line
   * @param identified whether the event has an `id` line
   */
  onEvent(event: ParsedEvent, named: boolean, identified: boolean): void;
  /** Called for each comment line, without its colon; of a long one with the first 1,024 characters. */
  onComment?(text: string): void;
  /** Called for each valid `retry` line, in milliseconds. */
  onRetry?(milliseconds: number): void;
  /** Called for each block that has an id and no data. */
  onId?(id: string): void;
  /** The last event id to begin with. */
  lastEventId?: string;
  /** The most bytes that one event may have, all of its lines but comments together. 16 MiB if absent. */
  maxEventBytes?: number;
}

/** A parser of one body. */
export interface Parser {
  /** The last event id so far. It may be set. */
  lastEventId: string;
  /**
   * Takes the next piece. Bytes may be cut anywhere, inside of a character too.
   * @returns false if an event is larger than allowed; nothing more is read then
   */
  feed(piece: Uint8Array | string): boolean;
  /** The stream is over. If it is `whole`, an event without its blank line is handed out, else it is dropped. */
  end(whole?: boolean): void;
}

/** A parser that hands out events as soon as their blank line has come. It depends on nothing and does no I/O. */
export function createParser(options: ParserOptions): Parser;
