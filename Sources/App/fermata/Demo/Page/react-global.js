// React as a module. Its builds for pages set a global, which demo.js has loaded before this file is.
export const { useEffect, useMemo, useState, useSyncExternalStore } = window.React;
