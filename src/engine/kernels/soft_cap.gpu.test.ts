import { cases } from './soft_cap.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('soft_cap', cases);
