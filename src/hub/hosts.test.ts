import { expect, it } from 'vitest';
import { contentSecurityPolicy, HOSTS, headersFile, isAllowedHost, securityHeaders } from './hosts.ts';

it('makes a policy that allows nothing but the page itself and the Hub', () => {
  expect(contentSecurityPolicy().split('; ')).toEqual([
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "worker-src 'self'",
    `connect-src 'self' ${HOSTS.map(({ source }) => source).join(' ')}`,
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
  ]);
  expect(HOSTS.every(({ source }) => /^https:\/\/[\w*.-]+\.(hf|huggingface)?\.?co$/.test(source))).toBe(true);
});

it('opens up in development and for further origins only as far as asked', () => {
  expect(contentSecurityPolicy()).not.toMatch(/unsafe|ws:|localhost/);
  expect(contentSecurityPolicy({ development: true })).toMatch(
    /script-src 'self' 'unsafe-inline';.*ws:\/\/localhost:\*/,
  );
  const tested = contentSecurityPolicy({ extraConnect: ['http://127.0.0.1:4000'] });
  expect(tested).toContain(' http://127.0.0.1:4000; manifest-src');
  expect(() => contentSecurityPolicy({ extraConnect: ["https://a.example; script-src 'unsafe-inline'"] })).toThrow(
    /is not an origin/,
  );
});

it('writes headers, with what a <meta> cannot say', () => {
  expect(securityHeaders()['Content-Security-Policy']).toMatch(/; frame-ancestors 'none'$/);
  const [first, second] = headersFile().split('\n');
  expect(first).toBe('/*');
  expect(second).toBe(`  Content-Security-Policy: ${contentSecurityPolicy({ delivery: 'header' })}`);
});

it('knows where the Hub sends its readers', () => {
  for (const host of ['huggingface.co', 'us.aws.cdn.hf.co', 'us-east1.us.gcp.cdn.hf.co', 'cas-bridge.xethub.hf.co']) {
    expect(isAllowedHost(`https://${host}/some/file?x=1`), host).toBe(true);
  }
  for (const address of [
    'http://huggingface.co/',
    'https://evil.example/',
    'https://cdn.hf.co.evil.example/',
    'https://evilcdn.hf.co/',
    'nonsense',
  ]) {
    expect(isAllowedHost(address), address).toBe(false);
  }
  expect(isAllowedHost('http://127.0.0.1:4000/x', ['http://127.0.0.1:4000'])).toBe(true);
});
