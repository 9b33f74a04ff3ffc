/** Words of the command line that cannot be followed; the message says which. */
export class UsageError extends Error {
  override name = 'UsageError';
}
