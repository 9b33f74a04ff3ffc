/** Typed, checked access to the fields of a config.json (or of an object in it), with errors that name the field. */

/** A config.json that cannot be trained from: says the field, the value found and what it may be. */
export class ModelConfigError extends Error {
  override name = 'ModelConfigError';
  readonly field: string;
  constructor(
    field: string,
    problem: string,
    advice = "Compare config.json with the one in the model's repository and download it again, or choose another model.",
  ) {
    super(`config.json: ${field}: ${problem}. ${advice}`);
    this.field = field;
  }
}

export interface IntegerRange {
  readonly min: number;
  readonly max: number;
}

/**
 * Reads fields of a parsed JSON object; null counts as absent, inherited properties do not exist. Every method throws
 * {@link ModelConfigError} when the field has another type or is out of range, or is absent without a fallback.
 */
export class ConfigReader {
  private readonly values: Readonly<Record<string, unknown>>;
  private readonly path: string;

  constructor(values: Readonly<Record<string, unknown>>, path = '') {
    this.values = values;
    this.path = path;
  }

  /** Undefined when absent or null. */
  get(field: string): unknown {
    return Object.hasOwn(this.values, field) ? (this.values[field] ?? undefined) : undefined;
  }

  /** True for a field that is there, be it null: some fields mean something other than their default when null. */
  has(field: string): boolean {
    return Object.hasOwn(this.values, field);
  }

  fields(): string[] {
    return Object.keys(this.values);
  }

  integer(field: string, { min, max }: IntegerRange, fallback?: number): number {
    const value = this.get(field) ?? fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
    return this.fail(field, `${describe(value)}, but must be a whole number from ${min} to ${max}`);
  }

  /** A finite number above 0. */
  positive(field: string, fallback?: number): number {
    const value = this.get(field) ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    return this.fail(field, `${describe(value)}, but must be a number above 0`);
  }

  /** A finite number, 0 or more. */
  notNegative(field: string): number {
    const value = this.get(field);
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    return this.fail(field, `${describe(value)}, but must be a number from 0`);
  }

  boolean(field: string, fallback: boolean): boolean {
    const value = this.get(field) ?? fallback;
    return typeof value === 'boolean' ? value : this.fail(field, `${describe(value)}, but must be true or false`);
  }

  text(field: string, fallback?: string): string {
    const value = this.get(field) ?? fallback;
    return typeof value === 'string' ? value : this.fail(field, `${describe(value)}, but must be a text`);
  }

  list(field: string): readonly unknown[] | undefined {
    const value = this.get(field);
    if (value === undefined || Array.isArray(value)) return value;
    return this.fail(field, `${describe(value)}, but must be a list`);
  }

  object(field: string): ConfigReader | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    if (!isRecord(value)) return this.fail(field, `${describe(value)}, but must be an object`);
    return new ConfigReader(value, `${this.path}${field}.`);
  }

  fail(field: string, problem: string, advice?: string): never {
    throw new ModelConfigError(this.path + field, problem, advice);
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** "is 3", "is missing": never the whole of a long or deep value. */
export function describe(value: unknown): string {
  if (value === undefined) return 'is missing';
  if (Array.isArray(value)) return `is a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'is an object';
  const text = JSON.stringify(value);
  return `is ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`;
}
