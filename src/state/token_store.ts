/** Whether the worker holds an access token. The token itself never stays on this side. */
import { create } from 'zustand';
import { studioClient } from './studio_client.ts';

export const useToken = create<{ held: boolean }>()(() => ({ held: false }));

export function giveToken(token: string): void {
  studioClient.send({ type: 'token', token });
  useToken.setState({ held: true });
}

export function forgetToken(): void {
  studioClient.send({ type: 'token', token: null });
  useToken.setState({ held: false });
}
