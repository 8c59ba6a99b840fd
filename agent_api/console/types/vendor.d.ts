// What the console uses of its vendored libraries, and no more: their own declarations need a newer TypeScript than
// Debian has.

declare module "preact" {
  export interface VNode {
    type: unknown;
    props: Record<string, unknown>;
    key: unknown;
  }
  export type Child = VNode | string | number | boolean | null | undefined | Child[];
  export function h(type: unknown, props: Record<string, unknown> | null, ...children: Child[]): VNode;
  export function render(node: VNode, parent: Element): void;
}

declare module "preact/hooks" {
  export function useEffect(effect: () => void | (() => void), inputs?: readonly unknown[]): void;
  export function useLayoutEffect(effect: () => void | (() => void), inputs?: readonly unknown[]): void;
  export function useMemo<T>(make: () => T, inputs: readonly unknown[]): T;
  export function useRef<T>(initial: T): { current: T };
  export function useState<T>(initial: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
  export function useId(): string;
}

declare module "htm" {
  const htm: {
    bind<Result>(h: (type: unknown, props: Record<string, unknown> | null, ...children: any[]) => Result): (
      strings: TemplateStringsArray,
      ...values: any[]
    ) => Result;
  };
  export default htm;
}

declare module "@preact/signals" {
  export interface ReadonlySignal<T> {
    readonly value: T;
    peek(): T;
  }
  export interface Signal<T> {
    value: T;
    peek(): T;
  }
  export function signal<T>(value: T): Signal<T>;
  export function computed<T>(compute: () => T): ReadonlySignal<T>;
  export function effect(run: () => void | (() => void)): () => void;
  export function batch<T>(run: () => T): T;
  export function useSignal<T>(value: T): Signal<T>;
  export function useSignalEffect(run: () => void | (() => void)): void;
}

declare module "uplot" {
  export default class uPlot {
    constructor(options: Record<string, unknown>, data: (number | null)[][], host: HTMLElement);
    readonly ctx: CanvasRenderingContext2D;
    readonly bbox: { left: number; top: number; width: number; height: number };
    readonly cursor: { idx: number | null };
    readonly data: (number | null)[][];
    setData(data: (number | null)[][], resetScales?: boolean): void;
    setSize(size: { width: number; height: number }): void;
    valToPos(value: number, scale: string, canvas?: boolean): number;
    destroy(): void;
  }
}
