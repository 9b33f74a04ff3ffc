import { useEffect, useState } from 'react';

/** performance.now(), again every so many milliseconds; null keeps it still. */
export function useNow(everyMs: number | null): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    if (everyMs === null) return;
    setNow(performance.now());
    const timer = setInterval(() => setNow(performance.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
