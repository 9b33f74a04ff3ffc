/** The page's entry. */
import './ui/tokens.css';
import './ui/base.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { createStudioWorker } from './state/create_worker.ts';
import { followDemo } from './state/demo_store.ts';
import { followAddress } from './state/navigation.ts';
import { startStudio } from './state/studio.ts';
import { restoreTheme } from './state/theme_store.ts';
import { App } from './ui/app.tsx';

restoreTheme();
followAddress();
startStudio(createStudioWorker);
followDemo();

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
