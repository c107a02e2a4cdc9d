// Typed events, without the DOM.
//
// In → Out: `emit(name, detail)` → every listener of that name, in the order they came.
// Spec: none.

/** Listeners by event name; `Map` maps each name to what its listeners receive. */
export class Emitter<Map extends object> {
  private readonly listeners = new globalThis.Map<keyof Map, Set<(detail: never) => void>>();

  /** Calls `listener` at each `name` until the returned function is called. */
  on<Name extends keyof Map>(name: Name, listener: (detail: Map[Name]) => void): () => void {
    const set = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, set);
    set.add(listener);
    return () => set.delete(listener);
  }

  protected emit<Name extends keyof Map>(name: Name, detail: Map[Name]): void {
    for (const listener of [...(this.listeners.get(name) ?? [])]) (listener as (detail: Map[Name]) => void)(detail);
  }
}
