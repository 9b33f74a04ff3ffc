import { useNavigation } from '../../state/navigation.ts';
import { Icon } from '../primitives/icon.tsx';
import styles from './tool.module.css';

/** The runs that are kept, from every screen. */
export function RunsLink() {
  const here = useNavigation((state) => state.screen === 'runs');
  return (
    <a href="#runs" className={styles.tool} aria-current={here ? 'page' : undefined}>
      <Icon name="runs" size={18} />
      <span className={styles.label}>Runs</span>
    </a>
  );
}
