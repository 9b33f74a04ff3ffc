/**
 * What can go wrong with the Hub, each with a next step. The page knows them by name (the `failed` event's `name`).
 * No text here ever holds a token or a signed address: they name the model, the file and the host.
 */

export class HubError extends Error {
  override name = 'HubError';
}

/** What was typed or pasted is no model of the Hub. */
export class ModelIdError extends HubError {
  override name = 'ModelIdError';
}

/** The Hub knows no such model, revision or file. */
export class ModelNotFoundError extends HubError {
  override name = 'ModelNotFoundError';
}

/** The Hub wants a token, another token, or a token with more rights: gated, private, revoked, expired. */
export class GatedModelError extends HubError {
  override name = 'GatedModelError';
}

/** A file is no longer what was partly read. */
export class ModelChangedError extends HubError {
  override name = 'ModelChangedError';
  constructor(file: string, what: string) {
    super(`${file} changed on the Hub while it was read (${what}). Start the download again.`);
  }
}

/** Nothing could be reached, after several attempts. */
export class OfflineError extends HubError {
  override name = 'OfflineError';
  constructor(host: string, subject: string, detail: string) {
    super(
      `${subject} cannot be read: ${host} cannot be reached (${detail}). Check the connection and try again; ` +
        'dropped model folders work without a network.',
    );
  }
}

/** The Hub is overloaded or limits requests, and stayed so after several attempts. */
export class HubBusyError extends HubError {
  override name = 'HubBusyError';
}

/** An answer that no Hub should give. */
export class HubAnswerError extends HubError {
  override name = 'HubAnswerError';
}
