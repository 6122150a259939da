// What the examples of the documentation take for granted.
declare function show(what: unknown): void;
declare function clear(): void;
declare function handle(type: string, data: string): void;
declare function token(): string;
declare function showIncomplete(end: unknown): void;
declare const url: string;
declare const stream: import("fermata-client").FermataStream;
declare const openStream: typeof import("fermata-client").openStream;
