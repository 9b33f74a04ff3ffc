import type { ModelLocation } from '../../worker/studio_protocol.ts';

export const locationName = (location: ModelLocation): string =>
  location.kind === 'hub' ? location.id : location.name;
