import { DeviceButton } from './device_button.tsx';
import { Logo } from './logo.tsx';
import { RunsLink } from './runs_link.tsx';
import { StepsNav } from './steps_nav.tsx';
import { ThemeToggle } from './theme_toggle.tsx';
import styles from './top_bar.module.css';

export function TopBar({ steps }: { readonly steps: boolean }) {
  return (
    <header className={styles.bar}>
      <div className={styles.inner}>
        <a className={styles.brand} href="#model">
          <Logo />
          <span>Nibble Studio</span>
        </a>
        {steps && <StepsNav />}
        <div className={styles.tools}>
          {steps && <RunsLink />}
          {steps && <DeviceButton />}
          <ThemeToggle />
        </div>
      </div>
    </header>
  );
}
