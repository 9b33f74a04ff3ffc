import { allowedHosts, useHosts } from '../../state/hosts_store.ts';
import { Icon } from '../primitives/icon.tsx';
import styles from './footer.module.css';

const ALLOWED = allowedHosts();

/** What left this machine: nothing; and whom the page spoke to. */
export function Footer() {
  const hosts = useHosts((state) => state.hosts);
  return (
    <footer className={styles.footer}>
      <p className={styles.promise}>
        <Icon name="lock" />
        Nothing is uploaded: data, adapter and training stay on this machine.
      </p>
      <div className={styles.hosts}>
        <p>
          {hosts.length === 0
            ? 'Hosts spoken to so far: none but this page’s own.'
            : `Hosts spoken to, to read from: ${hosts.join(', ')}.`}
        </p>
        <details>
          <summary>Hosts it may read from</summary>
          <ul>
            {ALLOWED.map((host) => (
              <li key={host}>{host}</li>
            ))}
          </ul>
        </details>
      </div>
    </footer>
  );
}
