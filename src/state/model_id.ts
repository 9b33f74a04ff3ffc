/** What a person pastes to name a model of the Hub. */

export interface HubModel {
  readonly id: string;
  readonly revision: string;
}

const NAME = '[\\w][\\w.-]*';
const ID = new RegExp(`^(${NAME}/${NAME})(?:@([\\w./-]+))?$`);
const ADDRESS = new RegExp(`^(?:https?://)?(?:www\\.)?(?:huggingface\\.co|hf\\.co)/(${NAME}/${NAME})(?:/(.*))?$`);

/** `org/name`, `org/name@revision`, or the address of the model's page, of a folder or file in it; null for words. */
export function parseModelId(text: string): HubModel | null {
  const trimmed = text.trim().replace(/[?#].*$/, '');
  const address = ADDRESS.exec(trimmed);
  if (address?.[1] && !/^(datasets|spaces|docs|papers|collections)\//.test(address[1])) {
    const below = /^(?:tree|blob|resolve)\/([^/]+)/.exec(address[2] ?? '');
    return { id: address[1], revision: below?.[1] ? decodeURIComponent(below[1]) : 'main' };
  }
  const id = ID.exec(trimmed);
  return id?.[1] && !address ? { id: id[1], revision: id[2] ?? 'main' } : null;
}
